"""Stand-ins for PowerSchool, the Entra token authority and Microsoft Graph on loopback."""
