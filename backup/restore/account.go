package restore

import (
	"archive/tar"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// questionTimeout bounds one small question to the database server.
const questionTimeout = time.Minute

// administer opens the administrator's way into the server once more, for what is not about schemas.
func administer(login moodle.Login) (*sql.DB, error) {
	connector, err := mysql.NewConnector(login.Driver("", questionTimeout))
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// accessDenied is ER_ACCESS_DENIED_ERROR: no such account, or another password.
const accessDenied = 1045

// ensureAccount sees to it that the site's own account can log in. Where it does not exist, as on a new server,
// it is made from what the backup has of it: the digest of its password, and its rights in the site's schema.
func (r *restoration) ensureAccount(ctx context.Context) error {
	denied, err := r.tryAccount(ctx)
	if err == nil || !denied || !r.Reader.Manifest.Has(backup.Config) {
		return err
	}
	statements, err := r.accountStatements(ctx)
	if err != nil {
		return fmt.Errorf("make the database account of the site: %w", err)
	}
	admin, err := administer(r.database.server.Login)
	if err != nil {
		return err
	}
	defer admin.Close()
	for _, statement := range statements {
		if _, err := admin.ExecContext(ctx, statement); err != nil {
			// The statement holds the digest of a password, and the server may quote from it.
			return fmt.Errorf("make the database account of the site: %s: %s", firstWords(statement), refusal(err))
		}
	}
	if _, err := r.tryAccount(ctx); err != nil {
		return fmt.Errorf("%w.\nThe account %s has another password than config.php says: set it with ALTER USER, or put config.php right", err, r.site.Config.DBUser)
	}
	r.Logger.Info("the database account of the site was made anew", "account", r.site.Config.DBUser)
	return nil
}

// refusal is what the server said, without what it quotes.
func refusal(err error) string {
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		return fmt.Sprintf("the server refuses it (error %d)", refused.Number)
	}
	return err.Error()
}

// tryAccount logs in as the site does.
func (r *restoration) tryAccount(ctx context.Context) (denied bool, err error) {
	own, err := administer(r.site.ConfigLogin())
	if err != nil {
		return false, err
	}
	defer own.Close()
	err = own.PingContext(ctx)
	var refused *mysql.MySQLError
	if err != nil {
		err = fmt.Errorf("log in to the database as the site's own account %s: %w", r.site.Config.DBUser, err)
	}
	return errors.As(err, &refused) && refused.Number == accessDenied, err
}

var (
	quotedName = "(`(?:[^`]|``)*`|'(?:[^']|'')*')"
	// onAccount is a statement about one account: what it does, the schema, user and host, and what follows.
	onAccount = regexp.MustCompile("^(CREATE USER IF NOT EXISTS|GRANT USAGE ON \\*\\.\\* TO|GRANT [A-Z, ]+ ON `((?:[^`]|``)+)`\\.\\* TO) " + quotedName + "@" + quotedName + "(.*)$")
	// quotedValue is a digest, and what follows an account besides is words: no comma, behind which another account might come.
	quotedValue = regexp.MustCompile(`'(?:[^'\\]|''|\\.)*'`)
	harmless    = regexp.MustCompile(`^[A-Za-z0-9_ ()]*$`)
)

// accountStatements are what the backup has of the account, as far as it is about this account and the site's
// schema: a forged backup could else give the server away.
func (r *restoration) accountStatements(ctx context.Context) (statements []string, err error) {
	file, err := r.Reader.Open(ctx, backup.FileOf(backup.Config))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	archive := tar.NewReader(file)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the backup does not have it")
		}
		if err != nil {
			return nil, err
		}
		if cleanName(header) != "database-account.sql" {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(archive, maxConfig))
		if err != nil {
			return nil, err
		}
		return r.allowed(string(content)), nil
	}
}

func (r *restoration) allowed(content string) (statements []string) {
	for line := range strings.Lines(content) {
		line = strings.TrimSuffix(strings.TrimSpace(line), ";")
		if line == "" || strings.HasPrefix(line, "--") {
			continue
		}
		if !r.ownAccount(line) {
			r.result.Notes = append(r.result.Notes, "a right of the site's database account was not given, for it goes beyond the site's schema: "+firstWords(line))
			continue
		}
		statements = append(statements, line)
	}
	return statements
}

// ownAccount says whether a statement is about the site's own account, and gives it nothing but the site's schema.
func (r *restoration) ownAccount(statement string) bool {
	found := onAccount.FindStringSubmatch(statement)
	if found == nil {
		return false
	}
	schema, user, rest := found[2], found[3], quotedValue.ReplaceAllString(found[5], "")
	own := strings.ReplaceAll(user[1:len(user)-1], user[:1]+user[:1], user[:1])
	return own == r.site.Config.DBUser && (schema == "" || unescaped(schema) == r.target.database) &&
		harmless.MatchString(rest) && !strings.Contains(strings.ToUpper(rest), "GRANT OPTION")
}

// unescaped is a schema's name as it stands in a GRANT, where _ and % are patterns unless escaped.
func unescaped(name string) string {
	return strings.NewReplacer("``", "`", `\_`, "_", `\%`, "%").Replace(name)
}

// firstWords are as much of a statement as holds no secret.
func firstWords(statement string) string {
	before, _, _ := strings.Cut(statement, " TO ")
	before, _, _ = strings.Cut(before, " IDENTIFIED ")
	return before
}
