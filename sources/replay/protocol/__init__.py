"""What clients and the replay exchange say to each other: streams, subscriptions, frames."""
