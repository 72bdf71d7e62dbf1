"""`python -m sds_daemon` is the `sds-daemon` command."""

from sds_daemon.cli.main import main

if __name__ == "__main__":
    main()
