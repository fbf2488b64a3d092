"""``python -m flumebeam``: the same as the command ``flumebeam``."""

from flumebeam.cli.main import main

if __name__ == "__main__":
    main()
