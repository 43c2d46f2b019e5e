package restore

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// configText is config.php as the backup has it, read from the smaller of the two archives that hold it.
func (o *Options) configText(ctx context.Context) (text string, err error) {
	m := o.Reader.Manifest
	if !m.Has(backup.Config) {
		return "", errors.New("the backup has no configuration")
	}
	file, err := o.Reader.Open(ctx, backup.FileOf(backup.Config))
	if err != nil {
		return "", err
	}
	defer file.Close()
	wanted := path.Join(m.Moodle.Code, "config.php")
	archive := tar.NewReader(file)
	for {
		header, err := archive.Next()
		if err != nil {
			return "", fmt.Errorf("find config.php in the backup: %w", err)
		}
		if header.Typeflag == tar.TypeReg && "/"+cleanName(header) == wanted && header.Size < maxConfig {
			content, err := io.ReadAll(archive)
			return string(content), err
		}
	}
}

const maxConfig = 1 << 20

// loginSite is the site as far as it must be known to log in to its database server: the live one, else
// what config.php in the backup says literally, else what is usual.
func (o *Options) loginSite(ctx context.Context, t target) *moodle.Site {
	if o.Live != nil {
		return o.Live
	}
	site := &moodle.Site{Name: o.Reader.Manifest.Site, Dir: t.code, User: t.name, Primary: true, Admin: o.Configured.Database.Admin}
	text, err := o.configText(ctx)
	if err == nil {
		site.Config, err = moodle.ReadLiterals(text, t.code)
	}
	if err != nil {
		o.Logger.Info("config.php in the backup could not be read without PHP; the database server is looked for on this host", "err", err)
		site.Config = moodle.PHPConfig{DBType: "mariadb", DBHost: "localhost", DBName: t.database, Prefix: t.prefix}
	}
	return site
}
