package database

import (
	"bytes"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// rich are structures of every kind that a plugin or an administrator may have put beside Moodle's own.
var rich = []string{
	"CREATE TABLE mdl_parent (id INT NOT NULL AUTO_INCREMENT, code VARCHAR(20) NOT NULL, PRIMARY KEY (id), UNIQUE KEY code (code)) AUTO_INCREMENT=77",
	"CREATE TABLE mdl_child (id INT PRIMARY KEY, parent INT, code VARCHAR(20), KEY p (parent), CONSTRAINT c1 FOREIGN KEY (parent) REFERENCES mdl_parent (id) ON DELETE CASCADE," +
		" CONSTRAINT c2 FOREIGN KEY (code) REFERENCES mdl_parent (code))",
	"INSERT INTO mdl_parent VALUES (1,'a'),(2,'b')", "INSERT INTO mdl_child VALUES (1,1,'b'),(2,2,NULL)",
	"CREATE TABLE mdl_generated (id INT PRIMARY KEY, a INT, b INT GENERATED ALWAYS AS (a * 2) VIRTUAL, c INT GENERATED ALWAYS AS (a + 1) STORED, KEY b (b), KEY c (c))",
	"INSERT INTO mdl_generated (id, a) VALUES (1, 10), (2, NULL)",
	"CREATE TABLE mdl_full (id INT PRIMARY KEY, body LONGTEXT, title VARCHAR(100), FULLTEXT KEY f (body), KEY t (title(10) DESC)) ROW_FORMAT=COMPRESSED COMMENT='it''s; a -- /* \\\\ \"comment`'",
	"INSERT INTO mdl_full VALUES (1, 'Grüße 😀 ;\\n-- no comment\\n/* none */ \\\\ '' \" `', 't')",
	"CREATE TABLE mdl_bin (id BIGINT UNSIGNED PRIMARY KEY, b LONGBLOB, bits BIT(9), f DOUBLE, d DECIMAL(30,10), t TIMESTAMP NULL, y YEAR, e ENUM('a','b;c'), j JSON, p POINT)",
	"INSERT INTO mdl_bin VALUES (18446744073709551615, X'00FF5C27220A0D1A', b'101', 1.5e-300, -12345.6789, '2026-03-29 02:30:00', 2026, 'b;c', '{\"a\": [1, \"x\"]}', ST_GeomFromText('POINT(1 2)'))",
	"INSERT INTO mdl_bin VALUES (1, '', b'0', -1e40, 0, NULL, NULL, NULL, NULL, NULL)",
	"CREATE TABLE `mdl_wei``rd $; --näme` (`co``l; x` INT PRIMARY KEY, `a.b` VARCHAR(5) DEFAULT ';', KEY `k;``e` (`a.b`))", "INSERT INTO `mdl_wei``rd $; --näme` VALUES (0, '\\\\')",
	"CREATE TABLE `mdl_" + strings.Repeat("x", 60) + "` (id INT PRIMARY KEY)",
	"CREATE TABLE mdl_parts (id INT NOT NULL, v INT, PRIMARY KEY (id), KEY v (v)) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)",
	"INSERT INTO mdl_parts VALUES (1, 2), (11, 12)",
	"CREATE TABLE mdl_isam (id INT PRIMARY KEY, v INT, KEY v (v)) ENGINE=MyISAM", "INSERT INTO mdl_isam VALUES (1, 1)",
	"CREATE TABLE mdl_check (id INT PRIMARY KEY, v INT CHECK (v > 0 AND v < 0.5e3), w VARCHAR(40) DEFAULT (CONCAT('x', UUID())))",
	"CREATE SEQUENCE mdl_seq START WITH 5", "DO NEXTVAL(mdl_seq)",
	"CREATE TABLE mdl_log (id INT PRIMARY KEY, said TEXT)",
	"CREATE FUNCTION mdl_f(a INT) RETURNS INT DETERMINISTIC RETURN a + 1",
	"CREATE PROCEDURE mdl_p() BEGIN DECLARE x INT DEFAULT 1; /* a ; comment */ SET x = 2; -- ; another\n SELECT x; END",
	"CREATE VIEW mdl_z AS SELECT id, mdl_f(id) AS n FROM mdl_full", "CREATE VIEW mdl_y AS SELECT * FROM mdl_z", "CREATE VIEW mdl_a AS SELECT * FROM mdl_y",
	"SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'", "CREATE TRIGGER mdl_t1 AFTER INSERT ON mdl_parent FOR EACH ROW INSERT INTO mdl_log VALUES (NEW.id, '\\')",
	"SET sql_mode = ''", "CREATE TRIGGER mdl_t0 AFTER INSERT ON mdl_parent FOR EACH ROW FOLLOWS mdl_t1 UPDATE mdl_log SET said = CONCAT(said, 'ü') WHERE id = NEW.id",
	"SET NAMES latin1", "CREATE TRIGGER mdl_t2 BEFORE DELETE ON mdl_child FOR EACH ROW SET @gone = '\xfc'", "SET NAMES utf8mb4",
	"SET time_zone = '+03:00'", "CREATE EVENT mdl_e ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' COMMENT 'x;y' DO BEGIN DELETE FROM mdl_log; END",
}

func TestEverythingComesOutIdentical(t *testing.T) {
	db, s := server(t)
	schema(t, db, s, "rich", rich...)
	want := picture(t, s, "rich")
	o := load(t, s, "rich", bytes.NewReader(dump(t, db, "rich")))
	rows, err := s.rows(t.Context(), "rich")
	if err != nil {
		t.Fatal(err)
	}
	content := Content{Rows: rows, Views: 3, Triggers: 3, Routines: 2, Events: 1}
	differences, err := s.Count(t.Context(), o.Schema, Scope{}, content)
	if err != nil || len(differences) > 0 {
		t.Errorf("the staged schema differs: %v %v", differences, err)
	}
	if err := s.Exchange(t.Context(), exchange(t, "rich")); err != nil {
		t.Fatal(err)
	}
	same(t, "after the exchange", picture(t, s, "rich"), want)
	differences, err = s.Count(t.Context(), "rich", Scope{}, content)
	if err != nil || len(differences) > 0 {
		t.Errorf("the live schema differs: %v %v", differences, err)
	}
	if err := s.Undo(t.Context(), exchange(t, "rich")); err != nil {
		t.Fatal(err)
	}
	same(t, "after undoing", picture(t, s, "rich"), want)
}

func TestFixturesComeOutIdentical(t *testing.T) {
	t.Parallel()
	stand.NeedFixtures(t)
	db, s := server(t)
	for _, version := range []string{"4.5", "5.1"} {
		t.Run(version, func(t *testing.T) {
			name := "fixture" + version
			schema(t, db, s, name)
			if err := stand.LoadFixture(t.Context(), db, version, name); err != nil {
				t.Fatal(err)
			}
			want := picture(t, s, name)
			o := load(t, s, name, bytes.NewReader(dump(t, db, name)))
			same(t, version, picture(t, s, o.Schema), want)
		})
	}
}
