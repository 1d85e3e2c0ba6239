"""The chassis of Linli (邻里): what two or more services need, and the event contracts."""
