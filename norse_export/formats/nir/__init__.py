"""NIR files, in and out: HDF5 on one side (hdf5, write), a neutral document in the middle."""
