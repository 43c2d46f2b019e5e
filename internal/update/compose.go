package update

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
)

// composerTime is bounded by the network.
const composerTime = "COMPOSER_PROCESS_TIMEOUT=600"

// compose installs the packages that the new code needs to run. Moodle up to 5.1 needs none.
func (u *update) compose(ctx context.Context) error {
	needs, err := u.requirements()
	if err != nil || len(needs) == 0 {
		return err
	}
	composer, err := command.Look("composer")
	if err != nil {
		return refusedSource("the new code needs packages that composer installs ("+some(needs)+"), and composer is not installed", "apt-get install composer")
	}
	user, err := command.SiteUser(u.Site.User)
	if err != nil {
		return err
	}
	// composer runs with no rights but to make vendor; afterwards that belongs to whom the code belongs.
	root := u.staging.root
	if err := errors.Join(root.RemoveAll("vendor"), root.Mkdir("vendor", 0o755), root.Lchown("vendor", int(user.UID), int(user.GID)), u.staging.letIn(user)); err != nil {
		return err
	}
	err = command.Run(ctx, command.Command{
		Name: composer, Dir: "/", User: user, Env: []string{composerTime, "COMPOSER_ALLOW_SUPERUSER=0", "COMPOSER_HOME=" + u.staging.path(newTree) + "/vendor/.composer"},
		Args:  []string{"install", "--working-dir=" + u.staging.path(newTree), "--no-dev", "--classmap-authoritative", "--no-interaction", "--no-scripts", "--no-plugins", "--no-progress"},
		Files: u.run.LockFiles(), Started: u.run.ChildStarted,
	})
	if err != nil {
		return fmt.Errorf("install what the new code needs by composer: %w", err)
	}
	return u.giveVendor(ctx)
}

// requirements are the packages that composer.json asks for beside PHP and its extensions.
func (u *update) requirements() (names []string, err error) {
	content, err := u.staging.root.ReadFile("composer.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var read struct {
		Require map[string]string `json:"require"`
	}
	if err == nil {
		err = json.Unmarshal(content, &read)
	}
	if err != nil {
		return nil, fmt.Errorf("read composer.json of the new code: %w", err)
	}
	for name := range read.Require {
		if name != "php" && !strings.HasPrefix(name, "ext-") && !strings.HasPrefix(name, "lib-") {
			names = append(names, name)
		}
	}
	return names, nil
}

// giveVendor gives what composer has made to whom the code belongs.
func (u *update) giveVendor(ctx context.Context) error {
	vendor, err := u.staging.root.OpenRoot("vendor")
	if err != nil {
		return err
	}
	defer vendor.Close()
	if err := vendor.RemoveAll(".composer"); err != nil {
		return err
	}
	if _, err := tree.Own(ctx, vendor, u.staging.like.uid, u.staging.like.gid, tree.OwnOptions{}); err != nil {
		return err
	}
	return dress(vendor, u.staging.like)
}

// dress gives everything in a tree the modes of the code. What composer makes has those of our umask, which may let the web
// server read nothing of it.
func dress(root *os.Root, like likeness) error {
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() && !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := fs.FileMode(like.file & 0o777)
		switch {
		case entry.IsDir():
			mode = fs.FileMode(like.dir & 0o777)
			if like.dir&0o2000 != 0 {
				mode |= fs.ModeSetgid
			}
		case info.Mode()&0o111 != 0:
			mode |= mode & 0o444 >> 2 // for those who may read it
		}
		return root.Chmod(path, mode)
	})
}
