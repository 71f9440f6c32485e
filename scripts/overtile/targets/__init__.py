"""What networks learn, made from labels: separated instances, class weights, weight maps."""
