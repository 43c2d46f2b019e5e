package backup

import (
	"context"
	"fmt"
	"strings"
)

// accountSQL is what brings the site's database account back on a new server: CREATE USER with the digest
// of its password, and its GRANTs. It goes into the archive of the configuration, which already holds the
// password itself in config.php.
func (s *session) accountSQL(ctx context.Context, user string) ([]byte, error) {
	var out strings.Builder
	out.WriteString("-- The database account of this site. Load it as an administrator of the new server.\n")
	accounts, err := s.accounts(ctx, user)
	if err != nil {
		return nil, err
	}
	for _, account := range accounts {
		for _, query := range []string{"SHOW CREATE USER ", "SHOW GRANTS FOR "} {
			lines, err := s.column(ctx, query+account)
			if err != nil {
				return nil, err
			}
			for _, line := range lines {
				line = strings.Replace(line, "CREATE USER ", "CREATE USER IF NOT EXISTS ", 1)
				out.WriteString(line + ";\n")
			}
		}
	}
	return []byte(out.String()), nil
}

// accounts are user@host for every host the user may come from, quoted. Who may not look into the table
// of accounts can still see their own.
func (s *session) accounts(ctx context.Context, user string) ([]string, error) {
	accounts, err := s.column(ctx, "SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.user WHERE User=? ORDER BY Host", user)
	if err == nil && len(accounts) > 0 {
		return accounts, nil
	}
	var own string
	if failed := s.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&own); failed != nil {
		return nil, failed
	}
	name, host, _ := cutLast(own, "@")
	if name != user {
		return nil, fmt.Errorf("the account %s is not to be found", user)
	}
	return []string{quoteText(name) + "@" + quoteText(host)}, nil
}

func cutLast(text, at string) (before, after string, found bool) {
	if i := strings.LastIndex(text, at); i >= 0 {
		return text[:i], text[i+len(at):], true
	}
	return text, "", false
}

// quoteText quotes a string for SQL.
func quoteText(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}
