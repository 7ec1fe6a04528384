"""Where the data comes from: the venues, their connections and their REST interfaces."""
