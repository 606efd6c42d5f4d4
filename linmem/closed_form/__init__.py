"""The closed form behind `LinearAutoencoder`: from sums over the data to A and B, then to the best decoder."""
