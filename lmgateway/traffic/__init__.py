"""What happens to one request on its way to LM Studio and back."""
