-- The first start of PostgreSQL makes the ledger's database; this adds Label Studio's.
CREATE DATABASE label_studio OWNER nextlabel;
