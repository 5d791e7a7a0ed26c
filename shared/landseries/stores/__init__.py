"""Where artifacts and markers lie: one protocol, several stores."""
