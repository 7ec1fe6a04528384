"""What the hub keeps of the instruments of a venue: snapshots, paces, removed symbols."""
