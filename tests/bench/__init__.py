"""What ``make bench`` measures: our parts side by side with the vendor's client, in one run, in processes of their own."""
