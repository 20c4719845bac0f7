package sqlserver

import "context"

// Release is the server's version and the dialect that the database is set to. A field is 0 where the server doesn't say.
type Release struct {
	// Major is 13 for SQL Server 2016, 16 for 2022.
	Major int64
	// Compatibility is sys.databases.compatibility_level: 130 is that of SQL Server 2016.
	Compatibility int64
}

// Release asks for version and compatibility level.
func (s *Session) Release(ctx context.Context) (Release, error) {
	var r Release
	for _, one := range []struct {
		sql string
		to  *int64
	}{
		{"SELECT CAST(SERVERPROPERTY('ProductMajorVersion') AS int)", &r.Major},
		{"SELECT CAST(compatibility_level AS int) FROM sys.databases WHERE database_id = DB_ID()", &r.Compatibility},
	} {
		rows, _, err := s.ask(ctx, "the server's version", one.sql)
		if err != nil {
			return Release{}, err
		}
		if len(rows) == 1 {
			*one.to, _ = rows[0][0].(int64)
		}
	}
	return r, nil
}

// policiesUnseen says whether the login lacks what shows security policies wherever they are. Where the server doesn't say, it doesn't.
func (s *Session) policiesUnseen(ctx context.Context) (bool, error) {
	has, known, err := s.hasDatabasePermission(ctx, "VIEW DEFINITION", "ALTER ANY SECURITY POLICY")
	return known && !has, err
}

// hasDatabasePermission says whether the login has one of the permissions on its database. known is false where the server doesn't say.
func (s *Session) hasDatabasePermission(ctx context.Context, permissions ...string) (has, known bool, err error) {
	return s.hasPermission(ctx, "SELECT HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', @permission)", permissions)
}

// HasServerPermission says whether the login has one of the permissions on the server. known is false where the server doesn't say.
func (s *Session) HasServerPermission(ctx context.Context, permissions ...string) (has, known bool, err error) {
	return s.hasPermission(ctx, "SELECT HAS_PERMS_BY_NAME(NULL, NULL, @permission)", permissions)
}

func (s *Session) hasPermission(ctx context.Context, sql string, permissions []string) (has, known bool, err error) {
	for _, p := range permissions {
		rows, _, err := s.ask(ctx, "the login's rights", sql, Param{"permission", "nvarchar(60)", p})
		if err != nil {
			return false, false, err
		}
		// A permission that this version doesn't know is NULL.
		if len(rows) == 1 && rows[0][0] != nil {
			n, _ := rows[0][0].(int64)
			has, known = has || n == 1, true
		}
	}
	return has, known, nil
}
