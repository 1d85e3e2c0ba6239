"""Archives (归档): what lies in the services' databases, read in one piece and written as one encrypted file."""
