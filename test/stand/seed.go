package stand

import (
	"bytes"
	"context"
	"crypto/sha1" // Moodle names its files by SHA-1
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// makeDataroot makes what a dataroot holds besides the file pool, caches included.
func (s *Site) makeDataroot() error {
	files := map[string]string{
		".htaccess":                "deny from all\nAllowOverride None\n",
		"secret/key/sodium.key":    strings.Repeat("k", 32),
		"lang/de/langconfig.php":   "<?php\n$string['thislanguage'] = 'Deutsch';\n",
		"muc/config.php":           "<?php defined('MOODLE_INTERNAL') || die();\n $configuration = array();\n",
		"cache/core_component.php": "<?php // can be made again\n",
		"localcache/mustache/x":    "compiled\n",
		"temp/upload":              "left over\n",
		"sessions/sess_x":          "",
		"trashdir/.keep":           "",
		"filedir/warning.txt":      "This directory contains the content of uploaded files and is controlled by Moodle code.\n",
	}
	for name, content := range files {
		if err := writeFile(filepath.Join(s.Dataroot, name), []byte(content)); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(s.Dataroot, "secret/key/sodium.key"), 0o400)
}

// seed loads the stand-in's tables and rows and stores its files.
func (s *Site) seed(ctx context.Context, db *MariaDBServer, now time.Time) error {
	values := strings.NewReplacer("{prefix}", s.Prefix, "{now}", strconv.FormatInt(now.Unix(), 10),
		"{version}", s.Version, "{release}", s.Release, "{branch}", s.Branch)
	for _, name := range []string{"schema.sql", "seed.sql"} {
		text, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		if err := db.load(ctx, s.Database, strings.NewReader(values.Replace(string(text)))); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	plugins, err := standardPlugins(s.layout())
	if err != nil {
		return err
	}
	plugins[thirdParty] = thirdPartyVersion
	if err := s.installPlugins(ctx, db, plugins); err != nil {
		return err
	}
	return s.storeFiles(ctx, db, now)
}

// installPlugins records plugin versions in the database.
func (s *Site) installPlugins(ctx context.Context, db *MariaDBServer, plugins map[string]string) error {
	var rows []string
	for component, version := range plugins {
		rows = append(rows, fmt.Sprintf("(%s, 'version', %s)", quoteString(component), quoteString(version)))
	}
	return db.load(ctx, s.Database, strings.NewReader(
		"REPLACE INTO "+s.Prefix+"config_plugins (plugin, name, value) VALUES "+strings.Join(rows, ",")+";"))
}

// storeFiles puts files of various sizes into the pool and the table files: an empty one, two
// rows with the same content, and a directory row.
func (s *Site) storeFiles(ctx context.Context, db *MariaDBServer, now time.Time) error {
	pool, err := sql.Open("mysql", db.RootDSN(s.Database))
	if err != nil {
		return err
	}
	defer pool.Close()
	contents := map[string][]byte{".": nil, "again.txt": []byte("slides 3\n"), "empty.txt": nil}
	for i := range 40 {
		contents[fmt.Sprintf("slides %d.txt", i)] = bytes.Repeat(fmt.Appendf(nil, "slides %d\n", i), 1+i%3*4000)
	}
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		content := contents[name]
		hash, err := s.StoreBlob(content)
		if err != nil {
			return err
		}
		pathHash := sha1.Sum([]byte("/2/course/overviewfiles/0/" + name))
		_, err = pool.ExecContext(ctx, "INSERT INTO "+s.Prefix+`files
			(contenthash, pathnamehash, contextid, component, filearea, itemid, filepath, filename, filesize, mimetype, timecreated, timemodified)
			VALUES (?, ?, 2, 'course', 'overviewfiles', 0, '/', ?, ?, 'text/plain', ?, ?)`,
			hash, hex.EncodeToString(pathHash[:]), name, len(content), now.Unix(), now.Unix())
		if err != nil {
			return fmt.Errorf("add the file %s: %w", name, err)
		}
	}
	return nil
}

// StoreBlob puts content into the site's file pool, as filedir/ab/cd/<sha1>, and returns the SHA-1 in hex.
func (s *Site) StoreBlob(content []byte) (string, error) {
	sum := sha1.Sum(content)
	hash := hex.EncodeToString(sum[:])
	dir := filepath.Join(s.Dataroot, "filedir", hash[:2], hash[2:4])
	if err := writeFile(filepath.Join(dir, hash), content); err != nil {
		return "", err
	}
	return hash, chownTree(filepath.Dir(dir), s.Web)
}

// giveAway sets owners as a careful admin does: the code is root's and readable to the web
// user's group, the dataroot is the web user's alone.
func (s *Site) giveAway() error {
	if err := chownTree(s.Dataroot, s.Web); err != nil {
		return err
	}
	code := Account{Name: s.Web.Name, UID: os.Getuid(), GID: s.Web.GID}
	if code.UID != 0 {
		return nil
	}
	return filepath.WalkDir(s.CodeDir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, code.UID, code.GID)
	})
}
