perl -e '
my %count; $count{length $_}++ for split / /, "one two three four five";
print join(",", map { "$_=$count{$_}" } sort keys %count), "\n";
open(my $out, ">", "file") or die; print $out "line $_\n" for 1..1000; close $out;
open(my $in, "<", "file") or die; my @lines = grep { /7$/ } <$in>; print scalar(@lines), "\n";
my $pid = fork; exit 5 unless $pid; waitpid $pid, 0; print $? >> 8, "\n";
local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select undef, undef, undef, 3;
pipe(my $r, my $w); if (!fork) { print $w "through\n"; exit } close $w; print <$r>;
print sprintf("%.3f %s", atan2(1, 1) * 4, join "", reverse split //, "drawer"), "\n";
'; echo "status $?"
