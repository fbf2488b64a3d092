"""Where events come from: readers that deliver batches under ids and move on when told what is durable. No Beam."""
