"""`python -m lavaghost`, the same as the command `lavaghost`."""

from lavaghost.cli import main

if __name__ == "__main__":
    main()
