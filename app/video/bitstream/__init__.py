"""What is read from coded pictures before they are decoded."""
