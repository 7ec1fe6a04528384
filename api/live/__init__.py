"""The live view: what the hubs say now, kept in memory."""
