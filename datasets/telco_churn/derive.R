# Writes telco_churn.csv from the table wa_churn of the R package modeldata (Debian: r-cran-modeldata).
# Usage: Rscript derive.R [FILE]. The output is a function of the package's table alone: rows and columns keep their
# order, numbers have the fewest digits that give them back, missing cells are empty, lines end in LF.
output <- commandArgs(trailingOnly = TRUE)
if (length(output) == 0) output <- "telco_churn.csv"
data("wa_churn", package = "modeldata", envir = environment())

shortest <- function(x) ifelse(is.na(x), "", vapply(x, format, "", digits = 15, scientific = FALSE))
as_text <- function(x) if (is.numeric(x)) shortest(x) else ifelse(is.na(x), "", as.character(x))
cells <- vapply(as.data.frame(wa_churn), as_text, character(nrow(wa_churn)))

# No cell needs quotes; should a later version of the package bring one that does, this script stops instead of guessing.
stopifnot(nrow(cells) == 7043, ncol(cells) == 20, !grepl("[\",\r\n]", cells))
connection <- file(output[1], open = "wb")
writeLines(c(paste(colnames(cells), collapse = ","), apply(cells, 1, paste, collapse = ",")), connection, sep = "\n")
close(connection)
