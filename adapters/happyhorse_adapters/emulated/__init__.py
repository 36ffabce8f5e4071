"""The providers as the emulator plays them. A dialect never shares code with its adapter."""
