"""Models, training and classification. The only room that knows what a tensor is."""
