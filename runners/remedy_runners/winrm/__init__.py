"""Windows Remote Management: from a target to a session in which every byte is encrypted."""
