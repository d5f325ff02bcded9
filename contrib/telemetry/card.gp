# SPDX-License-Identifier: Apache-2.0
# Draws what record.sh wrote: gnuplot -e "data='card.dat'; picture='card.svg'" card.gp
if (!exists("data")) data = "card.dat"
if (!exists("picture")) picture = "card.svg"
set terminal svg size 900,900
set output picture
set datafile missing "-"
set xlabel "seconds"
set grid
unset key
set multiplot layout 4,1
set title "clock cycles"
plot data using 1:2 with linespoints
set title "toggles"
plot data using 1:3 with linespoints
set title "power, a model's (W)"
plot data using 1:4 with linespoints
set title "temperature, a model's (C)"
plot data using 1:5 with linespoints
unset multiplot
