"""The questions of `sds-daemon init`, in the order School Data Sync's wizard asked them."""
