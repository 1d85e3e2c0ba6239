"""Bookings (预约): neighbourhood centres, their sessions and who has a seat."""
