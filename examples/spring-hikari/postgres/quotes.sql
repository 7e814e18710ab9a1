CREATE ROLE quotes LOGIN PASSWORD 'quotes';
CREATE DATABASE quotes OWNER quotes;
\connect quotes quotes
CREATE TABLE quotes (topic text PRIMARY KEY, text text NOT NULL);
INSERT INTO quotes VALUES
  ('winter', 'A function that was warm once need not be cold again.'),
  ('spring', 'What is frozen with care thaws in order.');
