"""Who and where: the unit tree, places, staff and their roles, street apps, and the tokens all services trust."""
