"""What finished runs leave behind: records, and the tables made of them."""
