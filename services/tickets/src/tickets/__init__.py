"""Tickets (诉求工单): what residents report, who answers, and how it ends."""
