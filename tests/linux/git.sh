export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a
export GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='2026-01-01T00:00:00Z'
export GIT_COMMITTER_DATE="$GIT_AUTHOR_DATE"
git init -q -b trunk .
seq 100 > numbers; git add numbers; git commit -q -m 'Count'
git checkout -q -b other; sed -i s/50/fifty/ numbers; git commit -q -a -m 'Spell'
git checkout -q trunk; echo more > text; git add text; git commit -q -m 'Write'
git merge -q -m 'Join' other
git log --format='%h %s'; git diff HEAD~1 --stat
git gc -q; git fsck; git status --short | wc -l
