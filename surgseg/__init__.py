"""What the command-line scripts share: labels, data, training, video, scores and figures."""
