"""From files of event recordings and static images to batches of pairs."""
