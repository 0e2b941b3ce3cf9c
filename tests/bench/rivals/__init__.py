"""What we measure ourselves against, each as short and as favourable to it as its users write it."""
