package sqlserver

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestALockingScanIsNotOfOneMoment shows what locking READ COMMITTED does to a scan while others commit. The scan waits at
// row 5; meanwhile a row moves in the index that is scanned.
func TestALockingScanIsNotOfOneMoment(t *testing.T) {
	tests := []struct {
		name, query, move string
		want              []int
	}{
		{"a row that moves ahead is found twice", "SELECT Id FROM dbo.T ORDER BY Place", "UPDATE dbo.T SET Place = 75 WHERE Id = 1", []int{1, 2, 3, 4, 5, 6, 7, 1, 8}},
		{"a row that moves back is missed", "SELECT Id FROM dbo.T ORDER BY Place", "UPDATE dbo.T SET Place = 5 WHERE Id = 8", []int{1, 2, 3, 4, 5, 6, 7}},
		{"a hint names the scanned index", "SELECT Id FROM dbo.T WITH (INDEX(IX_Place))", "UPDATE dbo.T SET Place = 5 WHERE Id = 8", []int{1, 2, 3, 4, 5, 6, 7}},
		{"an index whose key stays shows each row once", "SELECT Id FROM dbo.T ORDER BY Id", "UPDATE dbo.T SET Place = 5 WHERE Id = 8", []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{"a row that is new ahead is found", "SELECT Id FROM dbo.T", "INSERT INTO dbo.T (Id, Place) VALUES (9, 90)", []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"a row that is new behind isn't", "SELECT Id FROM dbo.T", "INSERT INTO dbo.T (Id, Place) VALUES (0, 90)", []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{"a row that goes ahead is missed", "SELECT Id FROM dbo.T WHERE Id <> 3", "DELETE FROM dbo.T WHERE Id = 7", []int{1, 2, 4, 5, 6, 8}},
		{"what is sorted is of one moment", "SELECT Id FROM dbo.T ORDER BY Other", "UPDATE dbo.T SET Place = 5 WHERE Id = 8", []int{1, 2, 3, 4, 5, 6, 7, 8}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Start(Options{Databases: []string{"shop"}, LockingReads: []string{"shop"}, ScanRows: 1, Logins: []Login{{Name: owner, Password: password}}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			holder, mover, reader := connect(t, s), connect(t, s), connect(t, s)
			holder.run("CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY, Place int NOT NULL, Other AS Id, Filler int NULL, INDEX IX_Place (Place))")
			for id := 1; id <= 8; id++ {
				holder.run(fmt.Sprintf("INSERT INTO dbo.T (Id, Place) VALUES (%d, %d)", id, 10*id))
			}
			holder.run("BEGIN TRAN", "UPDATE dbo.T SET Filler = 1 WHERE Id = 5")
			var got []int
			done := make(chan error, 1)
			go func() {
				rows, err := reader.conn.QueryContext(context.Background(), test.query)
				if err == nil {
					defer rows.Close()
					for rows.Next() {
						var id int
						if err = rows.Scan(&id); err != nil {
							break
						}
						got = append(got, id)
					}
					err = rows.Err()
				}
				done <- err
			}()
			for !blocked(s, "shop") {
				time.Sleep(time.Millisecond)
			}
			mover.run(test.move)
			holder.run("COMMIT")
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%s gives %v, want %v", test.query, got, test.want)
			}
		})
	}
}

func TestALockingScanGivesEachRowOnceWhenNobodyWrites(t *testing.T) {
	for _, rows := range []int{0, 1, 2, 3, 7} {
		for _, table := range []string{"Id int NOT NULL PRIMARY KEY", "Id int NOT NULL, Part int NOT NULL DEFAULT 1, PRIMARY KEY (Part, Id)", "Id int NULL", "Id int NOT NULL PRIMARY KEY NONCLUSTERED, Text varchar(5) NOT NULL DEFAULT 'x' UNIQUE"} {
			t.Run(fmt.Sprintf("%d rows of %s", rows, table), func(t *testing.T) {
				s, err := Start(Options{Databases: []string{"shop"}, LockingReads: []string{"shop"}, ScanRows: 2, Logins: []Login{{Name: owner, Password: password}}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				c := connect(t, s)
				c.run("CREATE TABLE dbo.T (" + table + ")")
				var want []int
				for id := range rows {
					if slices.Contains([]rune(table), 'x') {
						c.run(fmt.Sprintf("INSERT INTO dbo.T (Id, Text) VALUES (%d, 't%d')", id, id))
					} else {
						c.run(fmt.Sprintf("INSERT INTO dbo.T (Id) VALUES (%d)", id))
					}
					want = append(want, id)
				}
				for _, query := range []string{"SELECT Id FROM dbo.T", "SELECT t.Id FROM dbo.T AS t WHERE t.Id >= 0 OR 1 = 0 ORDER BY t.Id", "DECLARE @a int = 0, @b int = 1; SELECT Id + @a, @b FROM dbo.T WHERE @b = 1"} {
					list, err := c.conn.QueryContext(t.Context(), query)
					if err != nil {
						t.Fatal(err)
					}
					defer list.Close()
					var got []int
					for list.Next() {
						var id, rest int
						into := []any{&id, &rest}
						if cols, err := list.Columns(); err != nil || list.Scan(into[:len(cols)]...) != nil {
							t.Fatal(err)
						}
						got = append(got, id)
					}
					if err := list.Err(); err != nil {
						t.Fatalf("%s: %v", query, err)
					}
					slices.Sort(got)
					if !slices.Equal(got, want) {
						t.Errorf("%s gives %v, want %v", query, got, want)
					}
				}
			})
		}
	}
}

func TestALockTimeoutComesInTheMiddleOfAScan(t *testing.T) {
	s, err := Start(Options{Databases: []string{"shop"}, LockingReads: []string{"shop"}, ScanRows: 1, Logins: []Login{{Name: owner, Password: password}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	holder, reader := connect(t, s), connect(t, s)
	holder.run("CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY)", "INSERT INTO dbo.T VALUES (1), (2), (3)", "BEGIN TRAN", "DELETE FROM dbo.T WHERE Id = 3")
	reader.run("SET LOCK_TIMEOUT 1")
	rows, err := reader.conn.QueryContext(t.Context(), "SELECT Id FROM dbo.T")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	if numberOf(rows.Err()) != errLockTimeout || n != 2 {
		t.Errorf("%d rows, then %v; want 2 and error 1222", n, rows.Err())
	}
}
