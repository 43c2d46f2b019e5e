package control

import (
	"context"
	"crypto/rand"
	_ "embed" // poolcheck.php
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/fastcgi"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
)

//go:embed poolcheck.php
var poolScript []byte

const (
	poolCheck   = "the check in the PHP-FPM pool"
	poolTimeout = time.Minute
	// checkDir holds the script for as long as the check takes. The pool can read dataroot whatever its open_basedir
	// says, or the site would not work.
	checkDir = ".mxp-check"
)

// PoolCheck is what CheckPool is to know beside the site.
type PoolCheck struct {
	Pools []phpfpm.Pool // from SitePools
	// CodeSince is when the code was put in its place: a pool that keeps older compiled code and never looks is wrong.
	// Zero for long ago.
	CodeSince time.Time
	// UpgradePending says that the database is known to be behind the code, and that this is no fault of the moment.
	UpgradePending bool
}

// CheckPool starts the site inside its pool, as a visitor's request would but for the maintenance page, and compares the
// versions of its code on disk, in the pool and in the database. An ErrNotChecked says nothing about the site: there is
// no pool, nothing listens, or the pool cannot see the file that asks. Every other error is a site that does not work.
// Of several pools, one that works is enough: which of them the web server uses is not always known.
func CheckPool(ctx context.Context, site *moodle.Site, check PoolCheck) (PoolAnswer, error) {
	if len(check.Pools) == 0 {
		return PoolAnswer{}, &NotCheckedError{poolCheck, fmt.Errorf("no PHP-FPM pool of site %s is known", site.Name)}
	}
	disk, err := moodle.ReadVersion(site.Dir)
	if err != nil {
		return PoolAnswer{}, fmt.Errorf("check site %s in its PHP-FPM pool: %w", site.Name, err)
	}
	script, remove, err := placeScript(site)
	if err != nil {
		return PoolAnswer{}, &NotCheckedError{poolCheck, err}
	}
	defer remove()
	var failed, unmade []error
	for _, pool := range check.Pools {
		answer, err := askPool(ctx, site, pool, script)
		if err == nil {
			err = answer.judge(site, disk, check)
		}
		if err == nil {
			return answer, nil
		}
		err = fmt.Errorf("pool at %s: %w", pool.Listen, err)
		if errors.Is(err, ErrNotChecked) {
			unmade = append(unmade, err)
			continue
		}
		failed = append(failed, err)
	}
	if len(failed) > 0 {
		return PoolAnswer{}, fmt.Errorf("check site %s in its PHP-FPM pool: %w", site.Name, errors.Join(failed...))
	}
	return PoolAnswer{}, errors.Join(unmade...)
}

// placeScript writes the script where the pool can read it, and returns its path. The name is a new one each time:
// opcache may never look at a file again. There is nothing secret in it.
func placeScript(site *moodle.Site) (path string, remove func(), err error) {
	root, err := os.OpenRoot(site.Config.DataRoot)
	if err != nil {
		return "", nil, fmt.Errorf("open dataroot: %w", err)
	}
	remove = func() {
		_ = root.RemoveAll(checkDir)
		_ = root.Close()
	}
	if err = root.RemoveAll(checkDir); err == nil {
		if err = root.Mkdir(checkDir, 0o700); err == nil {
			err = writeScript(root, filepath.Join(checkDir, rand.Text()+".php"), &path)
		}
	}
	if err != nil {
		remove()
		return "", nil, fmt.Errorf("place a file for it in dataroot: %w", err)
	}
	real, err := filepath.EvalSymlinks(site.Config.DataRoot)
	if err != nil {
		remove()
		return "", nil, err
	}
	return filepath.Join(real, path), remove, nil
}

// writeScript writes through a directory that is opened to others only once it is ours.
func writeScript(root *os.Root, name string, path *string) error {
	if err := root.WriteFile(name, poolScript, 0o600); err != nil {
		return err
	}
	if err := root.Chmod(name, 0o644); err != nil {
		return err
	}
	*path = name
	return root.Chmod(checkDir, 0o755)
}

// askPool runs the script in one pool.
func askPool(ctx context.Context, site *moodle.Site, pool phpfpm.Pool, script string) (PoolAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, poolTimeout)
	defer cancel()
	mark := "moodle-exporter-" + rand.Text() + ":"
	network, address := phpfpm.Dialable(pool.Listen)
	response, err := fastcgi.Do(ctx, network, address, fastcgi.Request{Params: map[string]string{
		"SCRIPT_FILENAME": script, "SCRIPT_NAME": "/moodle-exporter-check.php", "REQUEST_METHOD": http.MethodGet,
		"SERVER_PROTOCOL": "HTTP/1.1", "MXP_MARK": mark, "MXP_CONFIG": filepath.Join(site.Link, "config.php"),
	}})
	var dialling *net.OpError
	if errors.As(err, &dialling) && dialling.Op == "dial" && ctx.Err() == nil {
		return PoolAnswer{}, &NotCheckedError{poolCheck, fmt.Errorf("nothing answers there; is PHP-FPM running? %w", err)}
	}
	if err != nil {
		return PoolAnswer{}, err
	}
	line, printed := cutAnswer(string(response.Body), mark)
	if printed {
		answer, err := parsePoolAnswer(line)
		answer.Pool = pool.Listen
		return answer, err
	}
	// PHP-FPM's own words where it does not get to the script (sapi/fpm/fpm/fpm_main.c).
	body := strings.TrimSpace(string(response.Body))
	if response.Status == http.StatusNotFound && body == "File not found." || response.Status == http.StatusForbidden && body == "Access denied." {
		return PoolAnswer{}, &NotCheckedError{poolCheck, fmt.Errorf("the pool does not see %s (status %d); has it a chroot, an open_basedir, or another host's files?", script, response.Status)}
	}
	said := CLI{Site: site}.said(body, nil)
	if said == "" {
		said = CLI{Site: site}.said(response.Stderr, nil)
	}
	return PoolAnswer{}, fmt.Errorf("the site does not start there (status %d): %s", response.Status, said)
}
