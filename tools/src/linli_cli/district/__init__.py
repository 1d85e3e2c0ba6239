"""The life of a district (区) on a platform: taken on, exported whole, taken in from an export, removed whole."""
