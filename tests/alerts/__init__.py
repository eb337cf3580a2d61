"""Every alert, provoked on running programs and seen firing by a real Prometheus."""
