"""Whether the acquisitions of different years lie at the same level and at the same place, judged from their pixels."""
