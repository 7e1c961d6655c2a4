/* In place of libcuda.so.1, of which nothing is asked but that it is there. */
extern int autoround_has_no_driver;
int autoround_has_no_driver;
