-- The index beside the file finds rows by their tags now; a row tells its own.

DROP TABLE tags;
