package moodle

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// ReadFiles counts the entries in the site's table of files and adds up their sizes: directories count, with no bytes,
// and so does each use of a content that is stored once. It takes some two seconds for a million.
func (s *Site) ReadFiles(ctx context.Context, db *dbserver.Connection) (files, bytes float64, err error) {
	w := walk{table: "files", columns: "id, filesize", sums: []string{"filesize"}}
	err = w.over(ctx, db, s, 0, func(_ int64, sums []float64) {
		files += sums[0]
		bytes += sums[1]
	})
	if err != nil {
		return 0, 0, fmt.Errorf("count files of site %s: %w", s.Name, err)
	}
	return files, bytes, nil
}

// tableMissing is the server's error number for a table that is not there (ER_NO_SUCH_TABLE).
const tableMissing = 1146

// ReadQuizAttempts counts the attempts of students, not previews, that have begun and not been handed in; known is false
// for a site without the quiz. It goes by the index on state.
func (s *Site) ReadQuizAttempts(ctx context.Context, db *dbserver.Connection) (count float64, known bool, err error) {
	err = s.readRow(ctx, db, "SELECT COUNT(*) FROM "+s.quoted("quiz_attempts")+" WHERE state IN ('inprogress', 'overdue') AND preview = 0", nil, &count)
	var refused *mysql.MySQLError
	if errors.As(err, &refused) && refused.Number == tableMissing {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("count quiz attempts of site %s: %w", s.Name, err)
	}
	return count, true, nil
}
