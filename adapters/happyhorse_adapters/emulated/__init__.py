"""The providers' server sides for the emulator. An emulated API never shares code with its adapter."""
