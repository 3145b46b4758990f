"""What several tests share: tiny data, composed configs, trained runs, and scripts that are killed."""
