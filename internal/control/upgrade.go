package control

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ErrStillPending is an upgrade that ended with exit status 0 and left something to upgrade.
var ErrStillPending = errors.New("upgrade.php says that all is well, and then that an upgrade is pending: the database does not have the versions of the code")

// upgradedPart is what upgrade.php prints before each plugin that it upgrades, and before core ("System").
var upgradedPart = regexp.MustCompile(`(?m)^-->(\w+)\s*$`)

// UpgradeOptions change how Upgrade runs.
type UpgradeOptions struct {
	// AllowUnstable lets alpha and beta versions and release candidates in. Without it upgrade.php refuses them.
	AllowUnstable bool
}

// Upgrade brings the database to the versions of the code, and looks whether it got there: exit status 0 alone is no
// proof. Nothing to do is no error. After an error the database may be half done, and there is no way back but a backup.
// PHP's memory_limit is left as it is: Moodle raises it itself.
func (c CLI) Upgrade(ctx context.Context, o UpgradeOptions) error {
	arguments := []string{"--non-interactive"}
	if o.AllowUnstable {
		arguments = append(arguments, "--allow-unstable")
	}
	if output, err := c.run(ctx, "admin/cli/upgrade.php", arguments...); err != nil {
		if at := upgradedPart.FindAllStringSubmatch(output, -1); len(at) > 0 {
			err = fmt.Errorf("in its part %s: %w", at[len(at)-1][1], err)
		}
		return fmt.Errorf("upgrade the database of site %s: %w", c.Site.Name, err)
	}
	pending, err := c.IsPending(ctx)
	if err == nil && pending {
		err = ErrStillPending
	}
	if err != nil {
		return fmt.Errorf("upgrade the database of site %s: %w", c.Site.Name, err)
	}
	return nil
}

// IsPending says whether the versions of core or any plugin differ between code and database, lost plugins included. It
// is right even where the site's caches are stale. Code that is older than the database is an error.
func (c CLI) IsPending(ctx context.Context) (bool, error) {
	_, err := c.run(ctx, "admin/cli/upgrade.php", "--is-pending")
	// 2: yes; 3: yes, by one that needs no maintenance mode (since 4.5).
	var failure *ScriptError
	if errors.As(err, &failure) && (failure.Code == 2 || failure.Code == 3) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask whether an upgrade is pending: %w", err)
	}
	return false, nil
}

// CheckSchema compares the tables with what the code expects, and returns the differences, one to a line and none where
// all is well. A difference is no error: many sites have had some for years, so compare with those of before.
func (c CLI) CheckSchema(ctx context.Context) (differences []string, err error) {
	output, err := c.run(ctx, "admin/cli/check_database_schema.php")
	var failure *ScriptError
	if errors.As(err, &failure) && failure.Code == 1 && !brokeOff(output) {
		differences = schemaDifferences(output)
	}
	if err != nil && len(differences) == 0 {
		return nil, fmt.Errorf("compare the tables with the code: %w", err)
	}
	return differences, nil
}

// schemaDifferences reads blocks of a ruler, a table and lines that begin with an asterisk. The SQL that would mend a
// difference may stand below it.
func schemaDifferences(output string) (differences []string) {
	table := ""
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		switch text, difference := strings.CutPrefix(line, "* "); {
		case line == "":
		case strings.Trim(line, "-") == "":
			table = ""
		case difference && table != "":
			differences = append(differences, table+": "+text)
		case table == "":
			table = line
		}
	}
	return differences
}
